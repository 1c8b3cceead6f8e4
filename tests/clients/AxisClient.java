// Calls the service as a program on Apache Axis 1.4 does: with the classes WSDL2Java makes from the WSDL. README.md says how
// to talk to it.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Calendar;
import java.util.Deque;
import java.util.List;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.xml.namespace.QName;
import org.apache.axis.AxisFault;
import org.apache.axis.client.Stub;
import org.apache.axis.message.MessageElement;
import org.apache.axis.message.SOAPHeaderElement;
import vendor.AssignLicenseRequest;
import vendor.AssignLicensesItem;
import vendor.AssignLicensesRequest;
import vendor.GetAssignedLicenseDetailsRequest;
import vendor.GetAssignedLicensesSummaryRequest;
import vendor.GetLicensePoolsRequest;
import vendor.LicenseManagementServiceLocator;
import vendor.LicenseManagementServiceSoap_PortType;
import vendor.LicenseType;
import vendor.TransferLicenseRequest;
import vendor.UnassignLicenseRequest;
import vendor.WebServiceResult;

class AxisClient {
    static final String NAMESPACE = "sosonlinebackup.com";

    public static void main(String[] arguments) throws Exception {
        if (!arguments[1].equals("1.1")) throw new IllegalArgumentException("of Axis, SOAP 1.1 only");
        var url = new URL(arguments[0].split("\\?")[0]);
        var port = new LicenseManagementServiceLocator().getLicenseManagementServiceSoap(url);
        var calls = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        String line;
        while ((line = calls.readLine()) != null) {
            String said;
            try {
                said = call(port, new ArrayDeque<>(List.of(line.split("\t"))));
            } catch (AxisFault e) {
                said = "\"fault\":" + quoted(e.getFaultString())
                    + ",\"faultcode\":" + quoted(e.getFaultCode().getLocalPart());
            } catch (Exception e) {
                said = "\"error\":" + quoted(e.toString());
            }
            answers.println("{" + said + "}");
        }
    }

    /** Axis makes nothing of the header block in the WSDL: a program makes it by hand. */
    static SOAPHeaderElement header(String userName, String password) throws Exception {
        var header = new SOAPHeaderElement(NAMESPACE, "AuthHeader");
        header.addChild(new MessageElement(new QName(NAMESPACE, "UserName"), userName));
        header.addChild(new MessageElement(new QName(NAMESPACE, "Password"), password));
        return header;
    }

    /** Each member of a request takes the next field. */
    static String call(LicenseManagementServiceSoap_PortType port, Deque<String> given) throws Exception {
        ((Stub) port).clearHeaders();
        ((Stub) port).setHeader(header(given.pop(), given.pop()));
        var operation = given.pop();
        switch (operation) {
            case "AssignLicense": {
                var request = new AssignLicenseRequest(given.pop(), Integer.parseInt(given.pop()), type(given.pop()));
                return outcome(port.assignLicense(request).getResult());
            }
            case "GetAssignedLicenseDetails": {
                var request = new GetAssignedLicenseDetailsRequest(given.pop(), type(given.pop()));
                var details = port.getAssignedLicenseDetails(request);
                var data = details.getLicenseData();
                return outcome(details.getResult()) + ",\"ProductKey\":" + quoted(details.getProductKey())
                    + ",\"LicenseData\":" + quoted(data == null ? null : Base64.getEncoder().encodeToString(data));
            }
            case "GetAssignedLicensesSummary": {
                var request = new GetAssignedLicensesSummaryRequest(
                    Integer.parseInt(given.pop()), given.pop().equals("true"));
                var summary = port.getAssignedLicensesSummary(request);
                return outcome(summary.getResult()) + list("UsersLicenses", "UserLicenseSummary", summary.getUsersLicenses(),
                    user -> "\"Username\":" + quoted(user.getUsername())
                        + ",\"LicenseType\":" + quoted(user.getLicenseType().getValue()));
            }
            case "UnassignLicense":
                return outcome(port.unassignLicense(new UnassignLicenseRequest(given.pop(), type(given.pop()))).getResult());
            case "TransferLicense": {
                var request = new TransferLicenseRequest(given.pop(), given.pop(), type(given.pop()));
                return outcome(port.transferLicense(request).getResult());
            }
            case "GetLicensePools": {
                var answer = port.getLicensePools(new GetLicensePoolsRequest(Integer.parseInt(given.pop())));
                return outcome(answer.getResult()) + list("Pools", "LicensePool", answer.getPools(), pool ->
                    "\"PoolId\":" + quoted(pool.getPoolId())
                    + ",\"LicenseType\":" + quoted(pool.getLicenseType().getValue())
                    + ",\"SeatsTotal\":" + pool.getSeatsTotal() + ",\"SeatsInUse\":" + pool.getSeatsInUse()
                    + ",\"SeatsFree\":" + pool.getSeatsFree() + ",\"SeatsInUseMax\":" + pool.getSeatsInUseMax()
                    + ",\"StartsAt\":" + quoted(time(pool.getStartsAt()))
                    + ",\"ExpiresAt\":" + quoted(time(pool.getExpiresAt())));
            }
            case "AssignLicenses": {
                var items = new ArrayList<AssignLicensesItem>();
                while (given.size() > 1) {
                    items.add(new AssignLicensesItem(given.pop(), Integer.parseInt(given.pop()), type(given.pop())));
                }
                var request = new AssignLicensesRequest(
                    items.toArray(new AssignLicensesItem[0]), given.pop().equals("true"));
                var answer = port.assignLicenses(request);
                return outcome(answer.getResult()) + list("Results", "AssignLicensesItemResult", answer.getResults(), item -> {
                    var result = item.getResult();
                    return "\"Username\":" + quoted(item.getUsername()) + ",\"Result\":{\"Result\":" + result.getResult()
                        + ",\"Code\":" + quoted(result.getCode()) + ",\"Message\":" + quoted(result.getMessage()) + "}";
                });
            }
            default:
                throw new IllegalArgumentException(operation);
        }
    }

    /** Of a name the WSDL does not have, a constant that is sent all the same. */
    static LicenseType type(String name) throws Exception {
        try {
            return LicenseType.fromValue(name);
        } catch (IllegalArgumentException unknown) {
            var constructor = LicenseType.class.getDeclaredConstructor(String.class);
            constructor.setAccessible(true);
            return constructor.newInstance(name);
        }
    }

    static String outcome(WebServiceResult result) {
        return "\"result\":" + result.getResult() + ",\"code\":" + quoted(result.getCode())
            + ",\"message\":" + quoted(result.getMessage());
    }

    static <T> String list(String name, String item, T[] items, Function<T, String> shown) {
        if (items == null) return "";
        var all = Stream.of(items).map(i -> "{" + shown.apply(i) + "}").collect(Collectors.joining(",", "[", "]"));
        return ",\"" + name + "\":{\"" + item + "\":" + all + "}";
    }

    static String time(Calendar time) {
        return time == null ? null : time.toInstant().toString();
    }

    static String quoted(String text) {
        if (text == null) return "null";
        var quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') quoted.append('\\').append(c);
            else if (c < ' ') quoted.append(String.format("\\u%04x", (int) c));
            else quoted.append(c);
        }
        return quoted.append('"').toString();
    }
}
